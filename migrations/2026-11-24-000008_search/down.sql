DROP TABLE search_gaps;
DROP TABLE search_days;
DROP FUNCTION effective_confidence(double precision, timestamptz, double precision);
DROP FUNCTION search_passage(text, tsquery);
DROP FUNCTION search_filter(text[], text[]);
DROP FUNCTION search_count(integer, double precision);
DROP TABLE search_corpus;
DROP TABLE search_words;
