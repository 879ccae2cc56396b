//! Every reason that a condition or an event of ours may give, in the spelling of Flux and External Secrets.

/// Declares reasons; the doc of each is its text.
macro_rules! reasons {
    ($($name:ident = $text:literal;)+) => {$(
        #[doc = concat!("`", $text, "`")]
        pub const $name: &str = $text;
    )+};
}

// Shared by all of Flux.
reasons! {
    SUCCEEDED = "Succeeded";
    FAILED = "Failed";
    PROGRESSING = "Progressing";
    SUSPENDED = "Suspended";
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry";
    DEPENDENCY_NOT_READY = "DependencyNotReady";
    INVALID_PATH = "InvalidPath";
    INVALID_URL = "InvalidURL";
    INSECURE_CONNECTIONS_DISALLOWED = "InsecureConnectionsDisallowed";
    UNSUPPORTED_CONNECTION_TYPE = "UnsupportedConnectionType";
    PRUNE_FAILED = "PruneFailed";
    ARTIFACT_FAILED = "ArtifactFailed";
    BUILD_FAILED = "BuildFailed";
    HEALTH_CHECK_FAILED = "HealthCheckFailed";
    HEALTH_CHECK_CANCELED = "HealthCheckCanceled";
    RECONCILIATION_SUCCEEDED = "ReconciliationSucceeded";
    RECONCILIATION_FAILED = "ReconciliationFailed";
    INVALID_CEL_EXPRESSION = "InvalidCELExpression";
    FEATURE_GATE_DISABLED = "FeatureGateDisabled";
    ACCESS_DENIED = "AccessDenied";
}

// Sources.
reasons! {
    ARTIFACT_UP_TO_DATE = "ArtifactUpToDate";
    NEW_REVISION = "NewRevision";
    NEW_ARTIFACT = "NewArtifact";
    NEW_CHART = "NewChart";
    AUTHENTICATION_FAILED = "AuthenticationFailed";
    VERIFICATION_FAILED = "VerificationFailed";
    URL_INVALID = "URLInvalid";
    GIT_OPERATION_SUCCEEDED = "GitOperationSucceeded";
    GIT_OPERATION_FAILED = "GitOperationFailed";
    BUCKET_OPERATION_SUCCEEDED = "BucketOperationSucceeded";
    BUCKET_OPERATION_FAILED = "BucketOperationFailed";
    OCI_ARTIFACT_PULL_FAILED = "OCIArtifactPullFailed";
    OCI_ARTIFACT_LAYER_OPERATION_FAILED = "OCIArtifactLayerOperationFailed";
    INDEXATION_FAILED = "IndexationFailed";
    CHART_PULL_SUCCEEDED = "ChartPullSucceeded";
    CHART_PULL_FAILED = "ChartPullFailed";
    CHART_PACKAGE_SUCCEEDED = "ChartPackageSucceeded";
    CHART_PACKAGE_FAILED = "ChartPackageFailed";
    ARCHIVE_OPERATION_FAILED = "ArchiveOperationFailed";
    CACHE_OPERATION_FAILED = "CacheOperationFailed";
    DIRECTORY_CREATION_FAILED = "DirectoryCreationFailed";
    STAT_OPERATION_FAILED = "StatOperationFailed";
    STORAGE_OPERATION_FAILED = "StorageOperationFailed";
    SYMLINK_UPDATE_FAILED = "SymlinkUpdateFailed";
    READ_OPERATION_FAILED = "ReadOperationFailed";
    PATCH_OPERATION_FAILED = "PatchOperationFailed";
    ACQUIRE_LOCK_FAILED = "AcquireLockFailed";
    INVALID_PROVIDER_CONFIGURATION = "InvalidProviderConfiguration";
    INVALID_STS_CONFIGURATION = "InvalidSTSConfiguration";
    SOURCE_IGNORE_ERROR = "SourceIgnoreError";
}

// Releases.
reasons! {
    INSTALL_SUCCEEDED = "InstallSucceeded";
    INSTALL_FAILED = "InstallFailed";
    UPGRADE_SUCCEEDED = "UpgradeSucceeded";
    UPGRADE_FAILED = "UpgradeFailed";
    ROLLBACK_SUCCEEDED = "RollbackSucceeded";
    ROLLBACK_FAILED = "RollbackFailed";
    UNINSTALL_SUCCEEDED = "UninstallSucceeded";
    UNINSTALL_FAILED = "UninstallFailed";
    TEST_SUCCEEDED = "TestSucceeded";
    TEST_FAILED = "TestFailed";
    DRIFT_DETECTED = "DriftDetected";
    NO_DRIFT_DETECTED = "NoDriftDetected";
    SOURCE_NOT_READY = "SourceNotReady";
    HELM_CHART_SYNC_ERROR = "HelmChartSyncErr";
    VALUES_ERROR = "ValuesError";
    CHART_MUTATE_ERROR = "ChartMutateError";
    REST_CLIENT_ERROR = "RESTClientError";
    RESOURCE_MANAGER_ERROR = "ResourceManagerError";
    FACTORY_ERROR = "FactoryError";
    CONFIG_FACTORY_ERR = "ConfigFactoryErr";
    STATE_ERROR = "StateError";
    RECONCILE_ERROR = "ReconcileError";
    RETRIES_EXCEEDED = "RetriesExceeded";
    MISSING_ROLLBACK_TARGET = "MissingRollbackTarget";
    AWAITING_TESTS = "AwaitingTests";
    INVENTORY_BUILD_FAILED = "InventoryBuildFailed";
    NAMESPACE_CHECK_SKIPPED = "NamespaceCheckSkipped";
}

// ExternalSecrets.
reasons! {
    SECRET_SYNCED = "SecretSynced";
    SECRET_SYNCED_ERROR = "SecretSyncedError";
    SECRET_DELETED = "SecretDeleted";
    SECRET_MISSING = "SecretMissing";
    RESOURCE_SYNCED = "ResourceSynced";
    RESOURCE_SYNCED_ERROR = "ResourceSyncedError";
    RESOURCE_DELETED = "ResourceDeleted";
    RESOURCE_MISSING = "ResourceMissing";
}

// Events of ExternalSecrets.
reasons! {
    CREATED = "Created";
    UPDATED = "Updated";
    DELETED = "Deleted";
    UPDATE_FAILED = "UpdateFailed";
    MISSING_PROVIDER_SECRET = "MissingProviderSecret";
    PARAMETER_DEPRECATED = "ParameterDeprecated";
}

// Stores.
reasons! {
    VALID = "Valid";
    INVALID_STORE_CONFIGURATION = "InvalidStoreConfiguration";
    INVALID_PROVIDER_CONFIG = "InvalidProviderConfig";
    VALIDATION_FAILED = "ValidationFailed";
    VALIDATION_UNKNOWN = "ValidationUnknown";
    STORE_UNMAINTAINED = "StoreUnmaintained";
    STORE_DEPRECATED = "StoreDeprecated";
}

// Lockstep's own.
reasons! {
    UNSUPPORTED = "Unsupported";
    OBJECT_SHARED = "ObjectShared";
}
