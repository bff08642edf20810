-- What a notice says in other languages, as its type's templates were filled when it was published: JSON by language tag, each with a
-- title, a body, or both. Null: it says the same to everybody.
ALTER TABLE carillon.notices ADD COLUMN locales text;
