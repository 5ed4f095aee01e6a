create table "sessions" ("id" varchar(255) not null, "user_id" bigint null, "payload" text not null, "last_activity" integer not null);
alter table "sessions" add primary key ("id");
create index "sessions_user_id_index" on "sessions" ("user_id");
