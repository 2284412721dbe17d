# Shows that the host's own rules are kept where the catalogue finds them.
package railgate.refusal.host_test

import data.railgate.refusal.host

test_the_host_says_three_rules if host.said_by_host == {"POL-01", "POL-03", "EVI-01"}
