-- Identifiers are a prefix and 20 characters of Crockford's base32, made by the program.

create table users (
    id            text primary key check (id ~ '^usr[0-9a-z]{20}$'),
    email         text not null unique check (length(email) between 3 and 254 and email = btrim(email)),
    password_hash text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

create table teams (
    id         text primary key check (id ~ '^team[0-9a-z]{20}$'),
    name       text not null check (name <> ''),
    created_at timestamptz not null default now()
);

create table users_teams (
    team_id    text not null references teams on delete cascade,
    user_id    text not null references users on delete cascade,
    is_default boolean not null default false,
    role       text not null check (role in ('owner', 'member')),
    created_at timestamptz not null default now(),
    primary key (team_id, user_id)
);
create unique index one_default_team_of_a_user on users_teams (user_id) where is_default;

create table team_api_keys (
    id         text primary key check (id ~ '^key[0-9a-z]{20}$'),
    team_id    text not null references teams on delete cascade,
    name       text not null check (name <> ''),
    key_hash   text not null unique check (key_hash ~ '^[0-9a-f]{64}$'),
    key_prefix text not null,
    created_by text not null references users on delete cascade,
    created_at timestamptz not null default now(),
    last_used  timestamptz
);
create index keys_of_a_team on team_api_keys (team_id, created_at desc, id desc);

create table oauth_providers (
    provider    text not null,
    provider_id text not null,
    user_id     text not null references users on delete cascade,
    email       text not null,
    created_at  timestamptz not null default now(),
    primary key (provider, provider_id)
);
create index providers_of_a_user on oauth_providers (user_id);

create table hosts (
    id                  text primary key,
    installation_id     text not null,
    address             text, -- null: in the process of the control plane that reports it
    version             text not null,
    vcpus               integer not null check (vcpus >= 0),
    memory_mb           integer not null check (memory_mb >= 0),
    memory_available_mb integer not null check (memory_available_mb >= 0),
    disk_free_bytes     bigint not null check (disk_free_bytes >= 0),
    accelerator         text not null,
    status              text not null check (status in ('up', 'down')),
    heartbeat_at        timestamptz not null,
    created_at          timestamptz not null default now()
);

create table snapshots (
    id         text primary key check (id ~ '^snp[0-9a-z]{20}$'),
    team_id    text references teams,
    name       text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    type       text not null check (type in ('base', 'snapshot')),
    vcpus      integer check (vcpus >= 1),
    memory_mb  integer check (memory_mb >= 128 and memory_mb % 128 = 0),
    size_bytes bigint not null default 0 check (size_bytes >= 0),
    host_id    text references hosts,
    created_at timestamptz not null default now(),
    deleted_at timestamptz,
    check ((type = 'base') = (team_id is null))
);
create unique index one_living_snapshot_of_a_name on snapshots (team_id, name) nulls not distinct where deleted_at is null;

create table sandboxes (
    id                  text primary key check (id ~ '^sb[0-9a-z]{20}$'),
    team_id             text not null references teams,
    host_id             text not null references hosts,
    template            text not null,
    snapshot_id         text references snapshots,
    status              text not null
        check (status in ('pending', 'running', 'pausing', 'paused', 'resuming', 'stopped', 'error')),
    version             bigint not null default 1,
    vcpus               integer not null check (vcpus >= 1),
    memory_mb           integer not null check (memory_mb >= 128 and memory_mb % 128 = 0),
    timeout_sec         integer not null check (timeout_sec between 0 and 2592000),
    host_ip             text,
    metadata            jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    error               text,
    created_at          timestamptz not null default now(),
    started_at          timestamptz,
    last_active_at      timestamptz,
    last_updated        timestamptz not null default now(),
    deadline_at         timestamptz, -- of the transition that is under way
    delete_requested_at timestamptz,
    deleted_at          timestamptz, -- kept for a while, so that a repeated DELETE is told apart from a wrong id
    constraint a_transition_has_a_deadline
        check ((status in ('pending', 'pausing', 'resuming')) = (deadline_at is not null)),
    constraint what_runs_has_started check (status <> 'running' or started_at is not null),
    constraint only_what_is_down_has_an_error check (error is null or status in ('stopped', 'error')),
    constraint what_is_deleted_was_to_be check (deleted_at is null or delete_requested_at is not null)
);
create index sandboxes_of_a_team on sandboxes (team_id, created_at desc, id desc) where deleted_at is null;
create index sandboxes_of_a_host on sandboxes (host_id) where deleted_at is null;
create index deleted_sandboxes on sandboxes (deleted_at) where deleted_at is not null;

create table idempotency_keys (
    team_id      text not null references teams on delete cascade,
    key          text not null check (length(key) between 1 and 255),
    request_hash text not null,
    subject      text not null, -- id of what the request makes
    response     json,          -- null while it is being made
    expires_at   timestamptz not null,
    primary key (team_id, key)
);
create index expired_idempotency_keys on idempotency_keys (expires_at);
