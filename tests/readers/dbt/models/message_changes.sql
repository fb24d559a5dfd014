{{ config(materialized='incremental') }}
select _id, _ts, _tombstone from {{ source('convex', 'messages_history') }}
{% if is_incremental() %}
where _ts > (select max(_ts) from {{ this }})
{% endif %}
