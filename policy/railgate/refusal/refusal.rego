# The refusals of admission, one package a subject. Each has a partial set `refusals` with one rule of the law a rule,
# and a function `sound` that holds where none of them refuses.

# METADATA
# scope: subpackages
# schemas:
#   - input: schema.input
package railgate.refusal
