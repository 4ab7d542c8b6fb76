DROP TABLE interactions;
DROP TABLE tasks;
DROP TABLE experts;
