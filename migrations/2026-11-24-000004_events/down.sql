DROP FUNCTION partition_drop_before(text, date);
DROP FUNCTION partition_sweep(text, date, integer);
DROP FUNCTION partition_add(text, date, integer);
DROP TABLE webhook_logs;
DROP TABLE events;
DROP FUNCTION uuid_v7_floor(timestamptz);
