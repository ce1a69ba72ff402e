package dev.sandglass.control;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

final class ArchitectureTest {
    private static final String ROOT = "dev.sandglass.control";
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages(ROOT);

    @Test
    void onlyStoresTouchSql() {
        noClasses()
                .that()
                .resideOutsideOfPackage(ROOT + ".database")
                .and()
                .haveSimpleNameNotContaining("Store")
                .should()
                .dependOnClassesThat()
                .haveNameMatching("java\\.sql\\..*|org\\.jdbi\\.v3\\.core\\.(Handle|statement\\..*)")
                .check(CLASSES);
    }

    @Test
    void onlyResourcesAnswerHttp() {
        noClasses()
                .that()
                .resideOutsideOfPackage(ROOT + ".http")
                .and()
                .haveSimpleNameNotContaining("Resource")
                .should()
                .dependOnClassesThat()
                .haveNameMatching(".*\\.control\\.http\\.(HttpRequest|Reply|Endpoint)(\\$.*)?")
                .orShould()
                .dependOnClassesThat()
                .resideInAPackage("org.eclipse.jetty.server..")
                .because("an origin is checked and a socket carried for a resource")
                .allowEmptyShould(true)
                .check(CLASSES.that(com.tngtech.archunit.base.DescribedPredicate.not(
                        com.tngtech.archunit.core.domain.JavaClass.Predicates.simpleName("Origins"))));
    }

    @Test
    void featuresDoNotGoInCircles() {
        slices().matching(ROOT + ".(*)..").should().beFreeOfCycles().check(CLASSES);
    }

    @Test
    void theFrameKnowsNoFeature() {
        noClasses()
                .that()
                .resideInAnyPackage(ROOT + ".http", ROOT + ".database")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        ROOT + ".account",
                        ROOT + ".oauth",
                        ROOT + ".apikey",
                        ROOT + ".sandbox",
                        ROOT + ".exec",
                        ROOT + ".file",
                        ROOT + ".host")
                .check(CLASSES);
    }

    @Test
    void theControlPlaneKnowsNoHostAgent() {
        noClasses()
                .should()
                .dependOnClassesThat()
                .resideInAPackage("dev.sandglass.host..")
                .check(CLASSES);
    }

    @Test
    void storesStayInTheirPackages() {
        classes()
                .that()
                .haveSimpleNameEndingWith("Store")
                .and()
                .doNotHaveSimpleName("HostStore")
                .should()
                .bePackagePrivate()
                .check(CLASSES);
    }
}
