-- Sandboxes that are paused and resumed, and snapshots.

-- It has been booted from its disk since its memory was lost.
alter table sandboxes add column cold boolean not null default false;

alter table snapshots
    add column completed_at timestamptz, -- null: being made, nobody sees it
    add column deadline_at  timestamptz, -- of its making; kept, since before it nothing is known to be gone for good
    add column removed_at   timestamptz; -- its host has confirmed that nothing is left of it
update snapshots set completed_at = created_at;

alter table snapshots
    add constraint what_is_made_has_a_deadline check (completed_at is not null or deadline_at is not null),
    add constraint a_snapshot_is_on_a_host check (type = 'base' or host_id is not null),
    add constraint what_is_complete_has_a_shape
        check (completed_at is null or type = 'base' or (vcpus is not null and memory_mb is not null)),
    add constraint what_is_removed_was_deleted check (removed_at is null or deleted_at is not null);

drop index one_living_snapshot_of_a_name;
create unique index one_living_snapshot_of_a_name on snapshots (team_id, name) nulls not distinct
    where completed_at is not null and deleted_at is null;
create index snapshots_of_a_team on snapshots (team_id, created_at desc, id desc) where deleted_at is null;
create index snapshots_to_be_removed on snapshots (host_id)
    where removed_at is null and (completed_at is null or deleted_at is not null);
create index sandboxes_of_a_snapshot on sandboxes (snapshot_id) where snapshot_id is not null;

insert into snapshots (id, type, name, completed_at) values ('snp0000000000000000base', 'base', 'base', now());
