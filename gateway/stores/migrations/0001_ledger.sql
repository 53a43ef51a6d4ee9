-- The ledger. Portable SQL: the same text makes it in SQLite and in PostgreSQL.

CREATE TABLE generation (
  id INTEGER NOT NULL PRIMARY KEY,
  budgets BIGINT NOT NULL
);

INSERT INTO generation (id, budgets) VALUES (1, 1);

CREATE TABLE owners (
  id TEXT NOT NULL PRIMARY KEY,
  lease_until_us BIGINT NOT NULL
);

CREATE TABLE exchange_rates (
  id TEXT NOT NULL PRIMARY KEY,
  cny_per_usd_nano BIGINT NOT NULL,
  checked TEXT NOT NULL,
  source TEXT NOT NULL
);

CREATE TABLE holds (
  id TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  started_us BIGINT NOT NULL,
  amount_nano BIGINT NOT NULL,
  currency TEXT NOT NULL,
  rehearsal BOOLEAN NOT NULL,
  exchange_rate TEXT NOT NULL,
  parent TEXT,
  expires_us BIGINT,
  about TEXT NOT NULL,
  tenant TEXT, project TEXT, season TEXT, episode TEXT, scene TEXT, shot TEXT,
  key_id TEXT, user_id TEXT, task TEXT
);

CREATE TABLE requests (
  id TEXT NOT NULL PRIMARY KEY,
  started_us BIGINT NOT NULL,
  duration_us BIGINT NOT NULL,
  endpoint TEXT NOT NULL,
  tenant TEXT, project TEXT, season TEXT, episode TEXT, scene TEXT, shot TEXT,
  key_id TEXT, user_id TEXT, task TEXT,
  requested_model TEXT NOT NULL,
  route_reason TEXT NOT NULL,
  stream BOOLEAN NOT NULL,
  outcome TEXT NOT NULL,
  provider TEXT,
  model TEXT,
  public_model TEXT,
  rehearsal BOOLEAN NOT NULL,
  recovered BOOLEAN NOT NULL,
  held_nano BIGINT NOT NULL,
  held_currency TEXT NOT NULL,
  exchange_rate TEXT NOT NULL,
  baseline_model TEXT,
  baseline_nano BIGINT,
  baseline_currency TEXT
);

CREATE INDEX requests_by_time ON requests (started_us);

CREATE TABLE attempts (
  request_id TEXT NOT NULL,
  number SMALLINT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  outcome TEXT NOT NULL,
  duration_us BIGINT NOT NULL,
  rehearsal BOOLEAN NOT NULL,
  currency TEXT,
  cost_nano BIGINT NOT NULL,
  list_cost_nano BIGINT NOT NULL,
  estimated BOOLEAN NOT NULL,
  clamped BOOLEAN NOT NULL,
  price TEXT NOT NULL,
  PRIMARY KEY (request_id, number)
);

CREATE TABLE ledger (
  request_id TEXT NOT NULL,
  attempt SMALLINT NOT NULL,
  meter TEXT NOT NULL,
  quantity BIGINT NOT NULL,
  rate_nano BIGINT NOT NULL,
  per BIGINT NOT NULL,
  cost_nano BIGINT NOT NULL,
  PRIMARY KEY (request_id, attempt, meter)
);

CREATE TABLE budgets (
  id TEXT NOT NULL PRIMARY KEY,
  scope TEXT NOT NULL,
  cap_nano BIGINT NOT NULL,
  currency TEXT NOT NULL,
  window_kind TEXT NOT NULL,
  window_hours INTEGER NOT NULL,
  time_zone TEXT NOT NULL,
  hard BOOLEAN NOT NULL,
  marks TEXT NOT NULL,
  origin TEXT NOT NULL
);

CREATE TABLE balances (
  budget TEXT NOT NULL,
  node TEXT NOT NULL,
  bucket_s BIGINT NOT NULL,
  spent_nano BIGINT NOT NULL,
  held_nano BIGINT NOT NULL,
  rehearsed_nano BIGINT NOT NULL,
  rehearsal_held_nano BIGINT NOT NULL,
  PRIMARY KEY (budget, node, bucket_s)
);

CREATE TABLE quotes (
  id TEXT NOT NULL PRIMARY KEY,
  key_id TEXT NOT NULL,
  made_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  amount_nano BIGINT NOT NULL,
  currency TEXT NOT NULL,
  hold TEXT,
  body TEXT NOT NULL
);
