-- Answers that are kept. Portable SQL: the same text does it in SQLite and in PostgreSQL.

ALTER TABLE requests ADD COLUMN replayed TEXT NOT NULL DEFAULT '';

ALTER TABLE requests ADD COLUMN saved_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE requests ADD COLUMN saved_currency TEXT;

CREATE TABLE idempotency (
  id TEXT NOT NULL PRIMARY KEY,
  request TEXT NOT NULL,
  call_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  fate TEXT NOT NULL,
  expires_us BIGINT NOT NULL,
  size_bytes BIGINT NOT NULL,
  answer TEXT
);

CREATE INDEX idempotency_by_expiry ON idempotency (expires_us, size_bytes);
