-- A checkpoint says whether it is as it was written: that is quick to see, where building it anew from the journal is not.

-- Derived, so what is there is made anew by reading.
delete from internal.account_checkpoints;
delete from internal.book_checkpoints;
alter table internal.account_checkpoints add column seal bytea not null;
alter table internal.book_checkpoints add column seal bytea not null;
comment on column internal.account_checkpoints.seal is 'SHA-256 of what the checkpoint says: internal.checkpoint_seal.';
comment on column internal.book_checkpoints.seal is 'SHA-256 of what the checkpoint says: internal.checkpoint_seal.';
