select author, count(*) as n from {{ source('convex', 'messages') }} group by author
