ALTER FUNCTION busiest(int) SET work_mem = '8MB';
ALTER FUNCTION busiest(int) RESET work_mem;
