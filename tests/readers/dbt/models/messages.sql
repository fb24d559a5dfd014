select _id, body, author, "from" as "from", coalesce(cast(late as varchar), late__rescued->>'$') as late
from {{ source('convex', 'messages') }}
