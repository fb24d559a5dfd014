select _id, _is_current from {{ source('convex', 'messages_versions') }} where _is_current
