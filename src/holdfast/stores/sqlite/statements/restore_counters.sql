-- Counters that are missing or invalid.
INSERT INTO counter(name, value) VALUES ('job', 0), ('fence', 0), ('interests', 0) ON CONFLICT (name) DO NOTHING
