package dev.sandglass.host.network;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Pure: names, addresses, and everything that is read. */
class SlotLayoutTest {
    private static final NetworkConfiguration STANDARD = NetworkConfiguration.standard(
            "abcdefgh234567", Path.of("/home/x"), Ipv4Range.parseAddress("192.0.2.53"), 4);

    @Test
    void everySlotHasNamesAndAddressesOfItsOwn() {
        SlotLayout layout = new SlotLayout(STANDARD);
        assertThat(STANDARD.slots()).isEqualTo(65_536);
        Set<Object> seen = new HashSet<>();
        for (int i = 0; i < STANDARD.slots(); i++) {
            Slot slot = layout.slot(i);
            assertThat(slot.namespace()).hasSizeLessThanOrEqualTo(15);
            assertThat(layout.index(slot.namespace())).hasValue(i);
            assertThat(STANDARD.hostRange().contains(slot.hostAddress())).isTrue();
            assertThat(List.of(slot.namespace(), slot.hostAddress(), slot.uid()))
                    .allMatch(seen::add);
        }
    }

    @Test
    void theEndsOfTheRangesAreRight() {
        SlotLayout layout = new SlotLayout(STANDARD);
        assertThat(layout.hostCommands(layout.slot(0)))
                .contains(
                        "addr add 10.12.0.0/31 dev sabcdefgh-0",
                        "route add 10.11.0.0/32 via 10.12.0.1 dev sabcdefgh-0 src 10.12.0.0");
        assertThat(layout.hostCommands(layout.slot(65_535)))
                .contains(
                        "addr add 10.13.255.254/31 dev sabcdefgh-65535",
                        "route add 10.11.255.255/32 via 10.13.255.255 dev sabcdefgh-65535 src 10.13.255.254");
        for (int i : new int[] {-1, 65_536, Integer.MAX_VALUE}) {
            assertThatThrownBy(() -> layout.slot(i)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "sabcdefgh",
                "sabcdefgh-",
                "sabcdefgh-01",
                "sabcdefgh-65536",
                "sabcdefgh--1",
                "sabcdefgi-1",
                "sabcdefgh-1x",
                "xsabcdefgh-1",
                "sabcdefgh-999999",
                "sabcdefgh-1\n"
            })
    void aNameThatIsNotOursHasNoIndex(String name) {
        assertThat(new SlotLayout(STANDARD).index(name)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "10.0.0.0",
                "10.0.0.0/",
                "10.0.0.0/33",
                "10.0.0.0/-1",
                "10.0.0.1/24",
                "256.0.0.0/8",
                "10.0.0/8",
                "10.0.0.0.0/8",
                "a.b.c.d/8",
                "10.0.0.0/8 ",
                "::/0",
                "010.0.0.0/8x",
                "1234.0.0.0/8"
            })
    void whatIsNoRangeIsRefused(String text) {
        assertThatThrownBy(() -> Ipv4Range.parse(text)).isInstanceOf(IllegalArgumentException.class);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/32", "-1.2.3.4", "1.2.3.4 "})
    void whatIsNoAddressIsRefused(String text) {
        assertThatThrownBy(() -> Ipv4Range.parseAddress(text)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void rangesKnowTheirAddresses() {
        Ipv4Range range = Ipv4Range.parse("255.255.255.252/30");
        assertThat(range.address(3)).isEqualTo(Ipv4Range.parseAddress("255.255.255.255"));
        assertThatThrownBy(() -> range.address(4)).isInstanceOf(IllegalArgumentException.class);
        assertThat(Ipv4Range.parse("0.0.0.0/0").contains(Ipv4Range.parseAddress("255.255.255.255")))
                .isTrue();
        assertThat(Ipv4Range.parse("10.0.0.0/8").overlaps(Ipv4Range.parse("10.11.0.0/16")))
                .isTrue();
        assertThat(Ipv4Range.parse("10.11.0.0/16").overlaps(Ipv4Range.parse("10.0.0.0/8")))
                .isTrue();
        assertThat(Ipv4Range.parse("10.11.0.0/16").overlaps(Ipv4Range.parse("10.12.0.0/15")))
                .isFalse();
    }

    @Test
    void aConfigurationTellsAllThatIsWrongWithIt() {
        assertThatThrownBy(() -> new NetworkConfiguration(
                        "Short",
                        Path.of("relative"),
                        NetworkConfiguration.REGISTRY,
                        Ipv4Range.parse("10.0.0.0/8"),
                        Ipv4Range.parse("10.12.0.0/15"),
                        Ipv4Range.parseAddress("127.0.0.53"),
                        -1,
                        0))
                .hasMessageContainingAll("installation id", "home", "overlap", "127.0.0.53", "pool size", "first uid");
    }

    @Test
    void aClaimIsReadAsItWasWritten() {
        SlotRegistry.Claim claim = new SlotRegistry.Claim("abcdefgh", 42, Path.of("/home/with space/ü"));
        assertThat(SlotRegistry.Claim.parse(claim.text())).contains(claim);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "\n",
                "abcdefgh",
                "abcdefgh 1\n",
                "abcdefgh 1 /home",
                "abcdefgh 1 home\n",
                "abcdefgh x /home\n",
                "ABCDEFGH 1 /home\n",
                "short 1 /home\n",
                "abcdefgh 1 /home\nmore\n",
                " abcdefgh 1 /home\n",
                "abcdefgh 1 /h\uFFFDme\n",
                "abcdefgh 1 /h\u0000me\n",
                "abcdefgh 99999999999 /home\n"
            })
    void aDamagedClaimIsNobodysToGiveUp(String text) {
        assertThat(SlotRegistry.Claim.parse(text)).isEmpty();
    }

    @Test
    void aUserIsFoundInAnyOfTheFourPlaces() {
        List<String> status = List.of("Name:\tx", "Uid:\t0\t1900000007\t0\t0", "Gid:\t5\t5\t5\t5");
        assertThat(SlotOwners.isOf(status, 1_900_000_007)).isTrue();
        assertThat(SlotOwners.isOf(status, 5)).isFalse();
        assertThat(SlotOwners.isOf(List.of(), 0)).isFalse();
    }

    @Test
    void chainsThatDropWhatIsForwardedAreNamed() {
        assertThat(HostRules.parseObstacles("""
                table ip filter {
                \tchain FORWARD {
                \t\ttype filter hook forward priority filter; policy drop;
                \t}
                \tchain INPUT {
                \t\ttype filter hook input priority filter; policy drop;
                \t}
                \tchain DOCKER {
                \t}
                }
                table ip6 filter {
                \tchain FORWARD {
                \t\ttype filter hook forward priority filter; policy drop;
                \t}
                }
                table inet ok {
                \tchain forward {
                \t\ttype filter hook forward priority filter; policy accept;
                \t}
                }
                """)).containsExactly("ip filter FORWARD");
        assertThat(HostRules.parseObstacles("")).isEmpty();
    }
}
