DROP TABLE link_dismissals;
DROP INDEX interactions_asked_idx;
DROP INDEX interactions_together_idx;
DROP INDEX interactions_used_idx;
DROP INDEX knowledge_mentioned_idx;
DROP INDEX knowledge_gone_idx;
DROP TRIGGER knowledge_gone ON knowledge;
DROP FUNCTION knowledge_gone();
DROP TABLE knowledge_links;
