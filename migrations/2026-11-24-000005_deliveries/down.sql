DROP FUNCTION kos_emit(text, jsonb);
DROP TABLE replays;
DROP TABLE dead_letters;
DROP TABLE deliveries;
DROP SEQUENCE delivery_order;
DROP TABLE holders;
