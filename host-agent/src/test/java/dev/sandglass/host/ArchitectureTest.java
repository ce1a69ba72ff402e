package dev.sandglass.host;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The direction of dependence: subjects know linux and process, the agent knows subjects, nothing knows the agent. */
final class ArchitectureTest {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("dev.sandglass.host");

    @Test
    void linuxKnowsNobody() {
        onlyDependsOn("linux", "linux").check(CLASSES);
    }

    @Test
    void processKnowsLinux() {
        onlyDependsOn("process", "process", "linux").check(CLASSES);
    }

    @Test
    void lifecycleIsPure() {
        onlyDependsOn("lifecycle", "lifecycle").check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("dev.sandglass.host.lifecycle..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("java.io..", "java.nio.file..", "java.net..", "java.util.concurrent..")
                .check(CLASSES);
    }

    @ParameterizedTest
    @ValueSource(strings = {"disk", "network", "guest", "vmm", "image", "memory"})
    void subjectsKnowLinuxAndProcessButNotEachOther(String subject) {
        onlyDependsOn(subject, subject, "linux", "process").check(CLASSES);
    }

    private static ArchRule onlyDependsOn(String of, String... allowed) {
        String[] packages = new String[allowed.length];
        for (int i = 0; i < allowed.length; i++) {
            packages[i] = "dev.sandglass.host." + allowed[i] + "..";
        }
        return classes()
                .that()
                .resideInAPackage("dev.sandglass.host." + of + "..")
                .should()
                .onlyDependOnClassesThat(com.tngtech.archunit.base.DescribedPredicate.or(
                        com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackage(
                                "dev.sandglass.host.."),
                        com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage(packages)));
    }
}
