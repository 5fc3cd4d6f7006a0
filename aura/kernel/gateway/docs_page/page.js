"use strict";

// Shows the interface by its OpenAPI document. Whoever logs in with it is logged in on the page, until it is left.
addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("page");
  const bearer = "bearerAuth";

  const ui = SwaggerUIBundle({
    domNode: page,
    url: page.dataset.document,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
    responseInterceptor: (response) => {
      const token = response.ok && response.obj ? response.obj.accessToken : undefined;
      if (typeof token === "string") {
        ui.preauthorizeApiKey(bearer, token);
      }
      return response;
    },
  });
});
