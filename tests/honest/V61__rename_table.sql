ALTER TABLE settings RENAME TO preferences;
CREATE VIEW settings AS SELECT preferences.key, preferences.value FROM preferences;
