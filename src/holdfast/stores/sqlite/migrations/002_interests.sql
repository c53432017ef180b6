-- Which events each queue wants. The version grows with every change, so that an event routed by an older version is noticed.

CREATE TABLE interest(
  queue INTEGER PRIMARY KEY,
  match TEXT NOT NULL                       -- JSON: "*" or an object of patterns
) STRICT;
INSERT INTO counter(name, value) VALUES ('interests', 0);
