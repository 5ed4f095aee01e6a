CREATE RULE settings_keep AS ON DELETE TO settings WHERE OLD.key = 'locale' DO INSTEAD (UPDATE settings SET value = settings.value WHERE settings.key = OLD.key; SELECT OLD.key);
DROP RULE settings_keep ON settings;
