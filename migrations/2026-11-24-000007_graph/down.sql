DROP TABLE link_dismissals;
DROP INDEX interactions_asked_idx;
DROP INDEX interactions_together_idx;
DROP INDEX interactions_used_idx;
DROP INDEX knowledge_mentioned_idx;
DROP INDEX knowledge_gone_idx;
DROP TABLE knowledge_links;
