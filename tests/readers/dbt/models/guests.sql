select _id, email from {{ source('convex_waitlist', 'users') }}
