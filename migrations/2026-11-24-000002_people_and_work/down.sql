DROP TABLE interactions;
DROP FUNCTION interaction_counts();
DROP TABLE tasks;
DROP FUNCTION task_lives();
DROP FUNCTION task_may_become(text, text);
DROP TABLE expert_domains;
DROP TABLE experts;
