select request._id, guest.email
from {{ source('convex_waitlist', 'requests') }} as request join {{ ref('guests') }} as guest on request.guest = guest._id
