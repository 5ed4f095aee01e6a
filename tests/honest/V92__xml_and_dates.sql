CREATE VIEW calendar AS
SELECT d.day::date, extract(week FROM d.day) AS week, to_char(d.day, 'YYYY.MM.DD') AS shown, date_trunc('month', d.day) AT TIME ZONE 'Europe/Zurich' AS month
FROM generate_series('2024-01-01'::timestamptz, '2024-12-31', interval '1 day') AS d (day);
