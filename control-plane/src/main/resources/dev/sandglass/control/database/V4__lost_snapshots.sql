-- Its host does not have it any more, although nobody deleted it.
alter table snapshots add column lost_at timestamptz;
