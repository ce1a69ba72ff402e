package dev.sandglass.host.network;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The life of slots, with real namespaces. Indexes come from the machine's registry, since others run here too. */
class NetworksTest {
    /** Beyond the greatest that Linux gives, 2^22 (proc(5), pid_max). */
    private static final int NO_PID = 1 << 23;

    @TempDir
    Path home;

    private final List<NetworkConfiguration> used = new ArrayList<>();

    private NetworkConfiguration configuration(int poolSize) {
        return configuration("t" + Id.Ids.randomCharacters(9), poolSize);
    }

    private NetworkConfiguration configuration(String installation, int poolSize) {
        NetworkConfiguration configuration =
                NetworkConfiguration.standard(installation, home, Ipv4Range.parseAddress("203.0.113.53"), poolSize);
        used.add(configuration);
        return configuration;
    }

    /** Ranges and a registry of its own: for tests that fill it. */
    private NetworkConfiguration four(String installation, int poolSize) {
        NetworkConfiguration configuration = new NetworkConfiguration(
                installation,
                home,
                home.resolve("registry"),
                Ipv4Range.parse("10.254.77.0/30"),
                Ipv4Range.parse("10.254.78.0/29"),
                Ipv4Range.parseAddress("203.0.113.53"),
                poolSize,
                1_800_000_000);
        used.add(configuration);
        return configuration;
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(20));
    }

    private static List<String> leftOf(NetworkConfiguration configuration) {
        List<String> left = new ArrayList<>(SlotKernel.named(new SlotLayout(configuration).prefix()));
        new SlotRegistry(configuration).claims().forEach((index, claim) -> {
            if (claim.installation().equals(configuration.installation())) {
                left.add("claim of " + index);
            }
        });
        Command.of("nft", "list", "tables")
                .run()
                .lines()
                .filter(line -> line.contains(HostRules.tableOf(configuration.shortInstallation())))
                .forEach(left::add);
        return left;
    }

    @AfterEach
    void nothingIsLeft() {
        for (NetworkConfiguration configuration : used) {
            List<String> left = leftOf(configuration);
            if (!left.isEmpty()) {
                try (Networks networks = Networks.open(configuration)) {
                    networks.reclaim(Set.of());
                }
            }
            assertThat(left).isEmpty();
        }
    }

    @Test
    void aSlotIsMadeFastAndFromThePoolAtOnce() {
        try (Networks networks = Networks.open(configuration(0))) {
            networks.acquire(soon());
            long begin = System.nanoTime();
            Slot slot = networks.acquire(soon());
            System.out.println("slot made in " + (System.nanoTime() - begin) / 1000 + " µs");
            assertThat(Files.exists(Path.of("/run/netns", slot.namespace()))).isTrue();
            assertThat(Command.of("ip", "-n", slot.namespace(), "tuntap", "list")
                            .run())
                    .contains("tap0")
                    .contains("user " + slot.uid());
            assertThat(Command.of("ip", "-n", slot.namespace(), "-6", "addr").run())
                    .isEmpty();
            assertThat(Command.of("ip", "-6", "addr", "show", "dev", slot.namespace())
                            .run())
                    .isEmpty();
            networks.reclaim(Set.of());
            assertThat(Files.exists(Path.of("/run/netns", slot.namespace()))).isTrue();
            releaseAll(networks, List.of(slot));
            networks.reclaim(Set.of());
        } finally {
            reclaimLast();
        }
        try (Networks networks = Networks.open(configuration(2))) {
            Awaitility.await().until(() -> networks.pooled().size() == 2);
            long begin = System.nanoTime();
            Slot slot = networks.acquire(soon());
            System.out.println("slot from the pool in " + (System.nanoTime() - begin) / 1000 + " µs");
            Awaitility.await().until(() -> networks.pooled().size() == 2);
            networks.release(slot);
        }
    }

    /** Taken slots stay when their networks are closed: this is how an agent that comes back removes them. */
    private void reclaimLast() {
        try (Networks networks = Networks.open(used.getLast())) {
            networks.reclaim(Set.of());
        }
    }

    private static void releaseAll(Networks networks, List<Slot> slots) {
        slots.forEach(networks::release);
        slots.forEach(networks::release);
        Awaitility.await()
                .until(() -> slots.stream().noneMatch(slot -> Files.exists(Path.of("/run/netns", slot.namespace()))));
    }

    @Test
    void bothEndsOfTheRangesWorkAndOneMoreIsRefusedUntilOneHasRested() {
        NetworkConfiguration configuration = four("tends" + Id.Ids.randomCharacters(5), 0);
        try (Networks networks = Networks.open(configuration)) {
            List<Slot> slots = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                slots.add(networks.acquire(soon()));
            }
            assertThat(slots).extracting(Slot::index).containsExactly(0, 1, 2, 3);
            assertThatThrownBy(() -> networks.acquire(soon()))
                    .isInstanceOfSatisfying(
                            PlatformException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NO_CAPACITY));
            networks.release(slots.get(3));
            assertThatThrownBy(() -> networks.acquire(soon())).isInstanceOf(PlatformException.class);
            Awaitility.await()
                    .ignoreExceptions()
                    .untilAsserted(() -> assertThat(networks.acquire(soon())).isEqualTo(slots.get(3)));
            slots.forEach(networks::release);
        }
    }

    @Test
    void manyAtOnceNeverShareAnything() throws Exception {
        NetworkConfiguration one = configuration(3);
        NetworkConfiguration other = configuration(3);
        try (Networks networks = Networks.open(one);
                Networks others = Networks.open(other);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Callable<Slot>> calls = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                calls.add(() -> networks.acquire(soon()));
                calls.add(() -> others.acquire(soon()));
            }
            Set<Object> seen = new HashSet<>();
            for (Future<Slot> future : threads.invokeAll(calls)) {
                Slot slot = future.get();
                assertThat(List.of(slot.index(), slot.namespace(), slot.hostAddress(), slot.uid()))
                        .allMatch(seen::add);
                networks.release(slot);
                others.release(slot);
            }
        }
    }

    @Test
    void closingWhileThePoolFillsLeavesNothing() throws InterruptedException {
        for (int millis : new int[] {0, 20, 70, 150}) {
            Networks networks = Networks.open(configuration(8));
            Thread.sleep(millis);
            networks.close();
            networks.close();
            assertThat(leftOf(used.getLast())).isEmpty();
            assertThatThrownBy(() -> networks.acquire(soon())).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void takenSlotsStayWithTheirPolicyUntilTheirAgentComesBack() {
        NetworkConfiguration configuration = configuration(1);
        Slot living;
        Slot dead;
        try (Networks networks = Networks.open(configuration)) {
            living = networks.acquire(soon());
            dead = networks.acquire(soon());
        }
        assertThat(leftOf(configuration))
                .contains(
                        living.namespace(),
                        dead.namespace(),
                        "table inet sandglass_" + configuration.shortInstallation());
        try (Networks networks = Networks.open(configuration)) {
            networks.reclaim(Set.of(living.index()));
            assertThat(SlotKernel.named(living.namespace())).containsExactly(living.namespace());
            assertThat(SlotKernel.named(dead.namespace())).isEmpty();
            networks.release(living);
        }
    }

    @Test
    void aSlotReleasedAfterTheCloseGoesAtOnceAndThePolicyWithTheLast() {
        NetworkConfiguration configuration = configuration(0);
        Networks networks = Networks.open(configuration);
        Slot slot = networks.acquire(soon());
        networks.close();
        assertThat(leftOf(configuration)).contains(slot.namespace());
        networks.release(slot);
        assertThat(leftOf(configuration)).isEmpty();
    }

    @Test
    void aCreationThatEndedAfterAnyStepIsCleanedUp() {
        NetworkConfiguration configuration = configuration(0);
        SlotLayout layout = new SlotLayout(configuration);
        SlotKernel kernel = new SlotKernel(layout);
        SlotRegistry registry = new SlotRegistry(configuration);
        int index = 60_000 + (int) (System.nanoTime() % 5_000);
        Slot slot = layout.slot(index);
        List<String> host = layout.hostCommands(slot);
        List<String> inside = layout.namespaceCommands(slot);
        for (int steps = 0; steps <= host.size() + inside.size(); steps++) {
            assertThat(registry.claim(index)).isTrue();
            kernel.createHostSide(slot, host.subList(0, Math.min(steps, host.size())));
            if (steps > host.size()) {
                kernel.createInside(slot, inside.subList(0, steps - host.size()));
            }
            try (Networks networks = Networks.open(configuration)) {
                networks.reclaim(Set.of());
            }
            assertThat(leftOf(configuration)).as("after step " + steps).isEmpty();
        }
    }

    @Test
    void staleKernelObjectsDoNotHinderALaterCreate() throws IOException {
        NetworkConfiguration configuration = four("tstal" + Id.Ids.randomCharacters(5), 0);
        SlotLayout layout = new SlotLayout(configuration);
        new SlotKernel(layout).create(layout.slot(0));
        // A namespace whose making was cut short is a plain file.
        Files.writeString(Path.of("/run/netns", layout.slot(1).namespace()), "");
        Command.of(
                        "ip",
                        "link",
                        "add",
                        layout.slot(2).namespace(),
                        "type",
                        "veth",
                        "peer",
                        "name",
                        layout.slot(3).namespace())
                .run();
        try (Networks networks = Networks.open(configuration)) {
            for (int i = 0; i < 3; i++) {
                assertThat(networks.acquire(soon()).index()).isEqualTo(i);
            }
            for (int i = 0; i < 3; i++) {
                networks.release(layout.slot(i));
            }
        }
    }

    @Test
    void whatIsOursByNameButClaimedByNobodyIsReclaimed() {
        NetworkConfiguration configuration = four("tlost" + Id.Ids.randomCharacters(5), 0);
        SlotLayout layout = new SlotLayout(configuration);
        new SlotKernel(layout).create(layout.slot(3));
        try (Networks networks = Networks.open(configuration)) {
            networks.reclaim(Set.of());
            assertThat(SlotKernel.named(layout.prefix())).isEmpty();
        }
    }

    /** Rewrites the claims of an installation as if a process had made them that has ended. */
    private static void letClaimantsDie(NetworkConfiguration of) throws IOException {
        try (var claims = Files.newDirectoryStream(of.registry())) {
            for (Path claim : claims) {
                String text = Files.readString(claim);
                if (text.startsWith(of.installation() + " ")) {
                    Files.writeString(claim, text.replaceFirst(" \\d+ ", " " + NO_PID + " "));
                }
            }
        }
    }

    @Test
    void anInstallationWhoseHomeIsGoneIsClearedUpByAnother() throws IOException {
        Path gone = Files.createDirectory(home.resolve("gone"));
        NetworkConfiguration dead = four("tgone" + Id.Ids.randomCharacters(5), 0);
        NetworkConfiguration deadInGone = new NetworkConfiguration(
                dead.installation(),
                gone,
                dead.registry(),
                dead.hostRange(),
                dead.vethRange(),
                dead.dns(),
                0,
                dead.uidBase());
        try (Networks networks = Networks.open(deadInGone)) {
            networks.acquire(soon());
        }
        NetworkConfiguration alive = four("taliv" + Id.Ids.randomCharacters(5), 0);
        try (Networks networks = Networks.open(alive)) {
            networks.reclaim(Set.of());
            assertThat(leftOf(dead)).hasSize(3);
            Files.delete(gone);
            networks.reclaim(Set.of());
            assertThat(leftOf(dead)).as("while its agent is alive").hasSize(3);
            letClaimantsDie(dead);
            networks.reclaim(Set.of());
            assertThat(leftOf(dead)).isEmpty();
        }
    }

    @Test
    void damagedClaimsAndStrangeFilesInTheRegistryAreNotTouched() throws IOException {
        NetworkConfiguration configuration = four("todds" + Id.Ids.randomCharacters(5), 0);
        Files.createDirectories(configuration.registry());
        Files.writeString(configuration.registry().resolve("0"), "damaged");
        Files.writeString(configuration.registry().resolve("1"), "");
        Files.writeString(configuration.registry().resolve("README"), "not an index");
        try (Networks networks = Networks.open(configuration)) {
            networks.reclaim(Set.of());
            Slot slot = networks.acquire(soon());
            assertThat(slot.index()).isEqualTo(2);
            networks.release(slot);
        }
        assertThat(configuration.registry().resolve("0")).hasContent("damaged");
        assertThat(configuration.registry().resolve("README")).exists();
    }

    @Test
    void anAgentKilledAtAnyMomentLeavesNothingThatReclaimDoesNotFind() throws Exception {
        NetworkConfiguration configuration = configuration(0);
        for (int round = 0; round < 3; round++) {
            Process agent = new ProcessBuilder(
                            ProcessHandle.current().info().command().orElseThrow(),
                            "--enable-native-access=ALL-UNNAMED",
                            "-XX:TieredStopAtLevel=1",
                            "-cp",
                            System.getProperty("java.class.path"),
                            TakeAndRelease.class.getName(),
                            configuration.installation(),
                            home.toString())
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            try {
                assertThat(agent.getInputStream().read()).isEqualTo('.');
                Thread.sleep(40L + 67L * round);
            } finally {
                agent.destroyForcibly().waitFor();
            }
            // What it had started meanwhile ends by itself.
            Thread.sleep(100);
            try (Networks networks = Networks.open(configuration)) {
                networks.reclaim(Set.of());
            }
            assertThat(leftOf(configuration)).isEmpty();
        }
    }

    /** The program of the agent that is killed. */
    static final class TakeAndRelease {
        private TakeAndRelease() {}

        public static void main(String[] arguments) {
            Networks networks = Networks.open(NetworkConfiguration.standard(
                    arguments[0], Path.of(arguments[1]), Ipv4Range.parseAddress("203.0.113.53"), 2));
            System.out.print('.');
            System.out.flush();
            while (true) {
                Slot slot = networks.acquire(soon());
                networks.acquire(soon());
                networks.release(slot);
            }
        }
    }
}
