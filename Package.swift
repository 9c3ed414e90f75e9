// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
    .treatWarning("DeprecatedDeclaration", as: .warning),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")

/// A room of the house: its library target and the tests beside it.
///
/// - Parameter excluded: folders beside the tests that are no code.
func room(
    _ name: String, _ dependencies: [Target.Dependency], testDependencies: [Target.Dependency] = [],
    excluded: [String] = []
) -> [Target] {
    [
        .target(name: name, dependencies: dependencies, swiftSettings: settings),
        .testTarget(
            name: "\(name)Tests",
            dependencies: [.byName(name: name), "TestSupport"] + dependencies + testDependencies,
            exclude: excluded,
            swiftSettings: settings
        ),
    ]
}

let package = Package(
    name: "sealer",
    products: [.executable(name: "sealer", targets: ["sealer"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
    ],
    targets: [
        // The C library and what Debian's -dev packages bring.
        .target(name: "CLinux"),
        .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .target(name: "TestSupport", dependencies: ["LinuxSystem", "Report", systemPackage], swiftSettings: settings),
        // The tool as users have it, on a real cluster.
        .testTarget(
            name: "ClusterTests",
            dependencies: ["LinuxSystem", "OCI", "TestSupport", subprocess, systemPackage],
            swiftSettings: settings
        ),
        // The tool as users have it, killed in the middle of what it does.
        .testTarget(
            name: "CrashTests",
            dependencies: [
                "ImageStore", "LinuxSystem", "OCI", "RegistryServer", "Report", "TestSupport", systemPackage,
            ],
            swiftSettings: settings
        ),
        // The tool as users have it, with the clients of others at its registry and at docker's.
        .testTarget(
            name: "ClientMatrixTests",
            dependencies: ["Archive", "ImageStore", "LinuxSystem", "OCI", "Report", "TestSupport", systemPackage],
            swiftSettings: settings
        ),
        .executableTarget(name: "sealer", dependencies: ["Remote", "SealerCommands"], swiftSettings: settings),
        // The engine's hosts and Kubernetes as state machines, and the lives of clusters on them.
        .target(
            name: "Simulation",
            dependencies: [
                "ApplyEngine", "Archive", "ClusterRuntime", "Clusterfile", "ImageStore", "Infra", "LinuxSystem", "OCI",
                "Remote", "Report", "TestSupport", systemPackage,
            ], path: "Tests/Simulation", swiftSettings: settings),
        .executableTarget(
            name: "SimulatedLives",
            dependencies: ["ClusterRuntime", "ImageStore", "LinuxSystem", "Simulation", "TestSupport", systemPackage],
            path: "Tests/SimulatedLives", swiftSettings: settings),
        // What ssh asks in tests in the place of sealer.
        .executableTarget(
            name: "AskPassProgram", dependencies: ["Remote"], path: "Tests/AskPassProgram", swiftSettings: settings),
    ]
        // Values.
        + room("Report", [], testDependencies: [systemPackage])
        + room("OCI", ["Report"])
        + room("YAML", ["CYAML", "Report"])
        + room("Kubefile", ["Report"])
        + room("Clusterfile", ["OCI", "Report", "YAML"], testDependencies: ["LinuxSystem", systemPackage])
        // Bytes on this machine.
        + room("LinuxSystem", ["CLinux", "Report", systemPackage])
        + room("Archive", ["CDeflate", "CLinux", "CZlib", "CZstd", "LinuxSystem", "Report", systemPackage])
        + room("ImageStore", ["LinuxSystem", "OCI", "Report", crypto, systemPackage])
        + room(
            "ImageArchive", ["Archive", "ImageStore", "LinuxSystem", "OCI", "Report", systemPackage],
            testDependencies: [subprocess])
        + room("ImageTree", ["Archive", "ImageStore", "LinuxSystem", "OCI", "Report", systemPackage])
        + room(
            "OlderImages", ["Archive", "ImageStore", "ImageTree", "LinuxSystem", "OCI", "Report"],
            testDependencies: [subprocess, systemPackage])
        // Bytes over the network.
        + room(
            "RegistryClient",
            [
                "ImageStore", "LinuxSystem", "OCI", "Report", asyncHTTPClient, nioCore, nioPosix, nioHTTP1, nioSSL,
                subprocess, systemPackage,
            ]
        )
        + room(
            "RegistryServer",
            [
                "CCrypt", "ImageStore", "LinuxSystem", "OCI", "Report", nioCore, nioPosix, nioHTTP1, nioSSL,
                systemPackage,
            ]
        )
        + room(
            "ImageCopy",
            [
                "ImageArchive", "ImageStore", "LinuxSystem", "OCI", "OlderImages", "RegistryClient", "Report",
                systemPackage,
            ]
        )
        // Hosts.
        + room("DockerEngine", ["LinuxSystem", "Report", nioCore, nioPosix, nioHTTP1, systemPackage])
        + room(
            "Remote", ["DockerEngine", "LinuxSystem", "OCI", "Report", subprocess, systemPackage],
            testDependencies: ["AskPassProgram", "ImageStore"])
        + room(
            "NodeAgent",
            [
                "Archive", "ImageStore", "ImageTree", "LinuxSystem", "OCI", "RegistryClient", "Remote", "Report",
                crypto, systemPackage,
            ]
        )
        + room(
            "Infra", ["Clusterfile", "DockerEngine", "LinuxSystem", "Remote", "Report", systemPackage],
            testDependencies: ["OCI"])
        // Engines.
        + room(
            "BuildEngine",
            ["Archive", "ImageStore", "Kubefile", "LinuxSystem", "OCI", "Report", "YAML", subprocess, systemPackage]
        )
        + room("Distribution", ["ImageStore", "OCI", "Remote", "Report"], testDependencies: [systemPackage])
        + room("NodeBalancer", ["LinuxSystem", "Report", "YAML", nioCore, nioPosix, nioSSL, systemPackage])
        + room(
            "ClusterRuntime",
            [
                "Clusterfile", "LinuxSystem", "NodeBalancer", "OCI", "Remote", "Report", "YAML", asn1, crypto,
                cryptoExtras, x509, systemPackage,
            ],
            testDependencies: [subprocess], excluded: ["Golden"]
        )
        + room("Diagnostics", ["Remote", "Report"], testDependencies: ["OCI"])
        + room(
            "ApplyEngine",
            [
                "ClusterRuntime", "Clusterfile", "Diagnostics", "Distribution", "ImageStore", "ImageTree", "Infra",
                "LinuxSystem", "OCI", "Remote", "Report", systemPackage,
            ],
            testDependencies: ["Archive", "Simulation", "YAML"]
        )
        // What people touch.
        + room("Terminal", ["Report"], testDependencies: [systemPackage])
        + room(
            "SealerCommands",
            [
                "ApplyEngine", "BuildEngine", "ClusterRuntime", "Clusterfile", "DockerEngine", "ImageStore", "Infra",
                "ImageArchive", "ImageCopy", "ImageTree", "LinuxSystem", "NodeAgent", "NodeBalancer", "OCI",
                "OlderImages", "RegistryClient",
                "RegistryServer",
                "Remote", "Report", "Terminal", argumentParser, systemPackage,
            ]
        ),
    swiftLanguageModes: [.v6]
)

// Only `make fuzz` builds this: libFuzzer brings the main function.
if Context.environment["SEALER_FUZZ_BUILD"] != nil {
    package.targets.append(
        .executableTarget(
            name: "fuzz",
            dependencies: ["Archive", "OCI", "Report"],
            path: "Fuzz",
            exclude: ["Corpus"],
            swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]
        )
    )
}
