-- Calls that are cut: which part an attempt was at, and room for more attempts than 32,767.

ALTER TABLE attempts ADD COLUMN part INTEGER;

ALTER TABLE attempts ALTER COLUMN number TYPE INTEGER;

ALTER TABLE ledger ALTER COLUMN attempt TYPE INTEGER;
