package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.sandglass.contract.check.Coverage;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;

/** Runs last, when all other tests of this module have sent what they send. */
@Order(Integer.MAX_VALUE)
final class ContractCoverageTest {
    @Test
    void everyDocumentedSuccessHasBeenSeen() {
        assumeTrue(System.getProperty("test") == null, "only some tests were asked for");
        assertThat(Coverage.successesNotSeen()).isEmpty();
    }

    /** Refusals that anybody can bring about; those of hosts and databases are seen where those are broken. */
    @Test
    void everyDocumentedRefusalHasBeenSeen() {
        assumeTrue(System.getProperty("test") == null, "only some tests were asked for");
        assertThat(Coverage.errorsNotSeen())
                .filteredOn(seen -> seen.matches(".* 4(?!29).."))
                .isEmpty();
    }
}
