create table "webhooks" ("id" serial primary key, "url" text not null, "headers" json default '{"x.y": "a.b"}', "created_at" timestamptz default CURRENT_TIMESTAMP);
alter table "webhooks" add constraint "webhooks_url_unique" unique ("url");
