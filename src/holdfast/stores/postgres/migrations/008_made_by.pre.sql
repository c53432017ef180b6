-- Which version of Holdfast brought the database to its schema, so that an older one can name it.

ALTER TABLE schema_version ADD COLUMN made_by text NOT NULL DEFAULT '';
