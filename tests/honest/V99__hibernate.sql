create sequence person_seq start with 1 increment by 50;
create table person (id bigint default nextval('person_seq') not null, version integer, name varchar(255), primary key (id));
