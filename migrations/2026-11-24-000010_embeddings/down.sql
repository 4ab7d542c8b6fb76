DROP TABLE knowledge_vectors;
