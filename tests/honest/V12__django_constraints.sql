SET CONSTRAINTS "crm_order_customer_id_fk" IMMEDIATE;
ALTER TABLE "crm_order" ADD CONSTRAINT "total_positive" CHECK ("total" >= 0);
