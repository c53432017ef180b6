-- Which version of Holdfast brought the store to its schema, so that an older one can name it.

CREATE TABLE made_by(
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  holdfast TEXT NOT NULL
) STRICT;
