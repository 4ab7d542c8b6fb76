DROP TABLE knowledge_history;
DROP TABLE knowledge;
DROP FUNCTION loses_places(tsvector);
DROP FUNCTION knowledge_words(text, text);
DROP FUNCTION search_text(text);
DROP TABLE domains;
DROP FUNCTION uuid_v7();
