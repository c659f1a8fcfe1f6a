//! Hand-written SQL that is prepared once per connection.
//!
//! Diesel caches only the prepared statements of its query builder. The query builder does not
//! support `UNNEST` over arrays, and a `sql_query` is parsed and planned on each execution.
//! [`statement!`] turns SQL with typed bind parameters into a Diesel query, so that one prepared
//! statement serves every batch size.

/// Declares a statement: its arguments, the SQL types of its rows (or `()`), and its text. In the
/// text, `{SqlType = argument}` is a bind parameter, `{argument}` inserts another fragment, and
/// `(expression)` a constant string, which makes the text of a `varying struct` differ.
macro_rules! statement {
    ($(#[$doc:meta])* struct $($declaration:tt)*) => {
        $crate::statement::statement! { @declare true; $(#[$doc])* struct $($declaration)* }
    };
    ($(#[$doc:meta])* varying struct $($declaration:tt)*) => {
        $crate::statement::statement! { @declare false; $(#[$doc])* struct $($declaration)* }
    };
    (
        @declare $same_text:literal;
        $(#[$doc:meta])*
        struct $name:ident { $($field:ident : $type:ty),* $(,)? } -> $row:ty;
        $($part:tt)*
    ) => {
        $(#[$doc])*
        struct $name<'a> { $($field: &'a $type),* }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                let Self { $($field),* } = self;
                $crate::statement::push!(out $($part)*);
                Ok(())
            }
        }

        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = $same_text;
        }

        impl diesel::query_builder::Query for $name<'_> {
            type SqlType = $row;
        }
    };
}

macro_rules! push {
    ($out:ident) => {};
    ($out:ident $text:literal $($rest:tt)*) => {
        $out.push_sql($text);
        $crate::statement::push!($out $($rest)*);
    };
    ($out:ident {$fragment:ident} $($rest:tt)*) => {
        diesel::query_builder::QueryFragment::walk_ast($fragment, $out.reborrow())?;
        $crate::statement::push!($out $($rest)*);
    };
    ($out:ident ($text:expr) $($rest:tt)*) => {
        $out.push_sql($text);
        $crate::statement::push!($out $($rest)*);
    };
    ($out:ident {$type:ty = $value:ident} $($rest:tt)*) => {
        $out.push_bind_param::<$type, _>($value)?;
        $crate::statement::push!($out $($rest)*);
    };
}

pub(crate) use {push, statement};

/// The generic plan of a statement with the planner settings of [`crate::Database::by_index`].
#[cfg(test)]
pub(crate) async fn plan_by_index(
    world: &test_kit::World,
    statement: &impl diesel::query_builder::QueryFragment<diesel::pg::Pg>,
) -> String {
    let text = diesel::debug_query::<diesel::pg::Pg, _>(statement).to_string();
    // `UNNEST` is overloaded; without bound values its types must be explicit.
    let text = text
        .replace("UNNEST($1)", "UNNEST($1::smallint[])")
        .replace("UNNEST($2)", "UNNEST($2::uuid[])")
        .replace(
            "UNNEST($1, $2, $3, $4, $5, $6)",
            "UNNEST($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::smallint[], $6::bigint[])",
        )
        .replace("UNNEST($1, $2)", "UNNEST($1::text[], $2::text[])");
    world.database.generic_plan_with(&crate::pool::BY_INDEX, &text).await
}
