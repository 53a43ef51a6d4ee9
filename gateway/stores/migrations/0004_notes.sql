-- Calls that are cut, while they are under way: what is at risk, and what parts have used.

ALTER TABLE holds ADD COLUMN at_risk_nano BIGINT;

CREATE TABLE notes (
  request_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (request_id, number)
);
