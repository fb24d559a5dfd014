{{ config(materialized='view') }}
select _id, name, "{{ '{%' }} endraw %} {{ '{{' }} no jinja }} {{ '{#' }}" as odd from {{ source('convex', 'users') }}
