DROP TABLE webhook_logs;
DROP TABLE events;
DROP FUNCTION webhook_hears(jsonb, text);
DROP TABLE webhooks;
