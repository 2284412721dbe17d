# The refusals of admission, one package a subject. Each has a partial set `refusals` with one rule of the law a rule,
# and a function `sound` that holds where none of them refuses.

# METADATA
# description: An admission answers 200 with its decision; the status is that of a command refused by the same code.
# scope: subpackages
# schemas:
#   - input: schema.input
# custom:
#   http_status: 409
package railgate.refusal
