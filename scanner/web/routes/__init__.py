"""One file a resource. Each exports ``ROUTES``; routing, validation and the OpenAPI document come from those."""
