DROP FUNCTION webhook_hears(jsonb, text);
DROP TABLE webhook_health;
DROP TABLE webhooks;
DROP FUNCTION webhook_registered();
DROP FUNCTION webhook_changed();
DROP TABLE webhook_tombstones;
DROP TABLE directory;
