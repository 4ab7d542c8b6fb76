DROP TABLE dead_letters;
DROP TABLE deliveries;
DROP SEQUENCE lease_tokens;
