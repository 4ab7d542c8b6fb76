DROP FUNCTION knowledge_query(text[], text[], text[]);
DROP TABLE knowledge;
DROP TABLE domains;
DROP FUNCTION uuid_v7();
